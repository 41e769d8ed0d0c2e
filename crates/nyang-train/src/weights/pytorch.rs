//! Weights from PyTorch's own files, `.pt` and `.pth`. Nothing in them is run: a pickle is read as a description of tensors.

use std::path::Path;

use nyang_tensor::Element;
use pytorch_reader::{DType, PickleValue, PytorchReader};

use super::number::Number;
use super::{Entries, Entry, WeightsProblem};
use crate::{Error, Result};

/// How many times the file's bytes its tensors may take, and how many more. PyTorch compresses nothing, but tensors may share numbers.
const TIMES: u64 = 8;
const MORE: u64 = 64 << 20;

/// Reads a state dict, a checkpoint that has one among other things, or a whole saved model; dictionaries in others join their names with dots.
pub(super) fn read<T: Element>(path: &Path, length: u64) -> Result<Entries<T>> {
    let wrong = |reason: &dyn ToString| Error::weights(path, WeightsProblem::PyTorch { reason: reason.to_string() });
    // what stands beside the tensors is looked at first: if loading it in Python would run something, none of it is to be trusted
    let beside = PytorchReader::read_pickle_data(path, None).map_err(|e| wrong(&e))?;
    if let Some(callable) = dangerous(&beside) {
        return Err(Error::weights(path, WeightsProblem::Code { callable: callable.to_owned() }));
    }
    drop(beside);
    let tensors = PytorchReader::new(path).map_err(|e| wrong(&e))?.into_tensors();
    let bytes = tensors.values().fold(0u64, |sum, t| sum.saturating_add(t.byte_len() as u64));
    if bytes > length.saturating_mul(TIMES).saturating_add(MORE) {
        return Err(Error::weights(path, WeightsProblem::TooLarge { bytes, file: length }));
    }
    let mut entries = Entries::new();
    for (name, tensor) in tensors {
        let number = number(tensor.dtype());
        let value = number.value(tensor.shape(), &tensor.read().map_err(|e| wrong(&e))?);
        entries.insert(name, Entry { number, value });
    }
    Ok(entries)
}

fn number(dtype: DType) -> Number {
    match dtype {
        DType::F16 => Number::F16,
        DType::BF16 => Number::Bf16,
        DType::F32 => Number::F32,
        DType::F64 => Number::F64,
        DType::I64 => Number::I64,
        DType::I32 => Number::Other("i32"),
        DType::I16 => Number::Other("i16"),
        DType::I8 => Number::Other("i8"),
        DType::U64 => Number::Other("u64"),
        DType::U32 => Number::Other("u32"),
        DType::U16 => Number::Other("u16"),
        DType::U8 => Number::Other("u8"),
        DType::Bool => Number::Other("bool"),
    }
}

/// Modules of which no checkpoint has reason to call anything.
const MODULES: [&str; 14] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "importlib",
    "runpy",
    "socket",
    "shutil",
    "pickle",
    "webbrowser",
    "ctypes",
    "pty",
    "commands",
];

/// What is dangerous among the built-in functions; sets and the like are not.
const BUILT_IN: [&str; 9] = ["eval", "exec", "execfile", "compile", "open", "getattr", "setattr", "__import__", "input"];

/// A callable among the values that would do more than make an object.
fn dangerous(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => {
            let (module, last) = (name.split('.').next()?, name.rsplit('.').next()?);
            let built_in = ["builtins", "__builtin__"].contains(&module) && BUILT_IN.contains(&last);
            (built_in || MODULES.contains(&module)).then_some(name)
        }
        PickleValue::List(values) => values.iter().find_map(dangerous),
        PickleValue::Dict(values) => values.values().find_map(dangerous),
        _ => None,
    }
}
