//! Files that PyTorch wrote, whole and damaged, and what they say.

use std::path::PathBuf;

use nyang_nn::{BatchNorm2d, Conv2d, Ctx, Flatten, Flow, Init, Linear, Relu, Tensor};
use proptest::prelude::*;

use super::*;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/weights").join(name)
}

/// The network of `make.py`.
fn network<T: Element>(out: usize) -> Flow<T> {
    let init = &mut Init::seed(7);
    Flow::new()
        .then(Conv2d::config(2, 3, 3).build(init).unwrap())
        .then(BatchNorm2d::config(3).build(init).unwrap())
        .then(Relu::new())
        .then(Flatten::new())
        .then(Linear::config(12, out).build(init).unwrap())
}

fn answer(name: &str) -> Tensor<f64> {
    match Weights::<f64>::read(file("answer.safetensors")).unwrap().get(name) {
        Some(StateValue::Tensor(t)) => t.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// How far the network's logits are from PyTorch's with its own weights.
fn error<T: Element>(network: &Flow<T>) -> f64 {
    let y = network.infer(answer("x").cast().unwrap(), &mut Ctx::eval()).unwrap().to_vec();
    y.into_iter().zip(answer("y").to_vec()).map(|(a, b)| (a.to_f64() - b).abs()).fold(0.0, f64::max)
}

fn refusal(path: &Path) -> String {
    let said = Weights::<f32>::read(path).unwrap_err().to_string();
    said.strip_prefix(&format!("{}: ", path.display())).unwrap_or_else(|| panic!("no path: {said}")).to_owned()
}

#[test]
fn pytorchs_safetensors_give_pytorchs_logits() {
    for (name, tolerance) in [
        ("plain.safetensors", 1e-6),
        ("half.safetensors", 2e-3),     // eleven digits of 2 in each weight
        ("bfloat16.safetensors", 2e-2), // eight
    ] {
        let mut network = network::<f32>(4);
        let report = Weights::read(file(name)).unwrap().load_into(&mut network).unwrap();
        assert!(error(&network) < tolerance, "{name}: {}", error(&network));
        assert_eq!((report.loaded.len(), report.converted.len()), (9, if name == "plain.safetensors" { 0 } else { 8 }), "{name}: {report}");
    }
    let mut double = network::<f64>(4);
    let report = Weights::read(file("plain.safetensors")).unwrap().load_into(&mut double).unwrap();
    assert!(error(&double) < 1e-14 && report.converted.contains(&"0.bias (f32)".to_owned()), "{}: {report}", error(&double));
}

#[test]
fn what_is_written_is_read_and_is_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let mut first = network::<f32>(4);
    Weights::read(file("plain.safetensors")).unwrap().load_into(&mut first).unwrap();
    Weights::of(&first).unwrap().write(&a).unwrap();
    Weights::of(&first).unwrap().write(&b).unwrap();
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    let mut second = network::<f32>(4);
    assert!(Weights::read(&a).unwrap().load_into(&mut second).unwrap().fits());
    assert_eq!(StateDict::of(&first).unwrap(), StateDict::of(&second).unwrap());
    assert_eq!(std::fs::read(&a).unwrap().len(), std::fs::read(file("plain.safetensors")).unwrap().len(), "not as PyTorch writes it");
}

#[test]
fn every_misfit_is_listed_and_nothing_is_loaded() {
    let weights = Weights::read(file("plain.safetensors")).unwrap();
    let mut other = network::<f32>(5).named("head", Linear::config(5, 2).build(&mut Init::seed(1)).unwrap());
    let before = StateDict::of(&other).unwrap();
    let said = weights.load_into(&mut other).unwrap_err().to_string();
    assert_eq!(StateDict::of(&other).unwrap(), before);
    for says in
        ["nothing was loaded", "missing: head.bias, head.weight", "misshapen: 4.bias (model [5], weights [4]), 4.weight (model [5, 12]"]
    {
        assert!(said.contains(says), "{said}");
    }
    let mut smaller = Flow::<f32>::new().then(Conv2d::config(2, 3, 3).build(&mut Init::seed(1)).unwrap());
    let said = weights.load_into(&mut smaller).unwrap_err().to_string();
    assert!(said.contains("2 names fit; unexpected: 1.bias, 1.num_batches_tracked, 1.running_mean"), "{said}");

    let report = weights.load_matching(&mut other).unwrap();
    assert_eq!((report.loaded.len(), report.missing.len(), report.misshapen.len()), (7, 2, 2), "{report}");
    assert_eq!(StateDict::of(&other).unwrap().get("0.weight"), weights.get("0.weight"));
    let mut nothing = Flow::<f32>::new().named("z", Linear::config(2, 2).build(&mut Init::seed(1)).unwrap());
    assert!(
        weights.load_matching(&mut nothing).unwrap_err().to_string().contains("0 names fit; missing: z.bias, z.weight; unexpected: 0.bias")
    );
}

#[test]
fn names_below_another_are_offered_and_not_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parallel.safetensors");
    Weights::of(&Flow::<f32>::new().named("module", network(4))).unwrap().write(&path).unwrap();
    let (weights, mut model) = (Weights::read(&path).unwrap(), network::<f32>(4));
    let said = weights.load_into(&mut model).unwrap_err().to_string();
    assert!(
        said.contains("nothing was loaded: the model's names are there below `module`: take `.below(\"module\")?` of the weights"),
        "{said}"
    );
    assert!(weights.clone().below("module").unwrap().load_into(&mut model).unwrap().fits());
    let said = weights.below("modul").unwrap_err().to_string();
    assert!(said.contains("no name stands below `modul`; the first names are `module.0.bias`, `module.0.weight`"), "{said}");
}

#[test]
fn files_that_are_no_weights_say_what_they_look_like() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for (bytes, says) in [
        (&b"\x89HDF\r\n\x1a\n...."[..], "holds no weights that NyangTorch can read; it looks like an HDF5 file"),
        (b"", "it looks like nothing that NyangTorch knows"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"\x89NYA\r\n\x1a\n\x01\0\0\0model", "load_model reads a model with its structure"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert!(refusal(&path).contains(says), "{}", refusal(&path));
    }
    assert!(refusal(&folder.path().join("nowhere")).contains("cannot read") && refusal(folder.path()).contains("cannot read"));
}

#[test]
fn damaged_and_hostile_safetensors_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let whole = std::fs::read(file("plain.safetensors")).unwrap();
    let said = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        refusal(&path)
    };
    assert!(said(&whole[..whole.len() - 1]).contains("truncated: 1132 bytes expected, 1131 found"));
    assert!(said(&whole[..100]).contains("truncated"));
    assert!(said(&[&whole[..], &[0]].concat()).contains("1 bytes too many"));

    let header = |json: &str, data: usize| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat();
    let one =
        |dtype: &str, shape: &str, end: &str| format!("{{\"a\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}");
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (bytes, says) in [
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "it says that it is 18446744073709551615 bytes long"),
        ([&99_999_999u64.to_le_bytes()[..], b"{}"].concat(), "truncated: 100000007 bytes expected"),
        (header("{", 0), "header of this safetensors file is not valid: EOF"),
        (header("{]", 0), "not valid"),
        (header(&deep, 0), "recursion limit"),
        (header(&one("F32", "[2]", "4"), 4), "invalid shape, data type, or offset"),
        (header(&one("F99", "[1]", "4"), 4), "unknown variant `F99`"),
        (header(&one("U8", "[18446744073709551615]", "18446744073709551615"), 0), "not valid"), // 8 + its end wraps round
        (header(&one("F32", "[4611686018427387904]", "18446744073709551615"), 0), "overflow"),
        (header(&one("F32", "[-1]", "4"), 4), "invalid value"),
        (header(&one("F32", "[1000000000000]", "4000000000000"), 0), "truncated"),
        (header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8), "invalid offset for tensor `a`"),
    ] {
        assert!(said(&bytes).contains(says), "{}\nexpected: {says}", said(&bytes));
    }

    // of a type or shape that no weight has: an error only for a model that wants it
    std::fs::write(&path, header(&one("BOOL", "[3]", "3"), 3)).unwrap();
    let weights = Weights::<f32>::read(&path).unwrap();
    let mut model = Flow::<f32>::new().named("a", Linear::config(1, 1).build(&mut Init::seed(1)).unwrap());
    assert!(weights.load_into(&mut model).unwrap_err().to_string().contains("unexpected: a") && weights.get("a").is_none());
}

#[cfg(not(feature = "pytorch"))]
#[test]
fn without_the_feature_a_pytorch_file_says_how_to_read_it() {
    let said = refusal(&file("plain.pt"));
    assert!(said.contains("build with nyang-train's feature `pytorch`, or convert it in Python: `safetensors.torch.save_file("), "{said}");
}

#[cfg(feature = "pytorch")]
#[test]
fn pytorchs_own_files_give_pytorchs_logits() {
    for name in ["plain.pt", "legacy.pt", "double.pth", "no_counters.pth", "whole_model.pt"] {
        let mut network = network::<f32>(4);
        let report = Weights::read(file(name)).unwrap().load_into(&mut network).unwrap_or_else(|e| panic!("{e}"));
        assert!(error(&network) < 1e-6, "{name}: {}", error(&network));
        let (kept, converted) = (usize::from(name == "no_counters.pth"), if name == "double.pth" { 8 } else { 0 });
        assert_eq!((report.kept.len(), report.converted.len()), (kept, converted), "{name}: {report}");
    }
}

#[cfg(feature = "pytorch")]
#[test]
fn a_checkpoint_has_its_weights_among_other_things() {
    let (weights, mut network) = (Weights::read(file("checkpoint.pt")).unwrap(), network::<f32>(4));
    let said = weights.load_into(&mut network).unwrap_err().to_string();
    assert!(
        said.contains("take `.below(\"state_dict.module\")?` of the weights") && said.contains("unexpected: optimizer.state"),
        "{said}"
    );
    weights.below("state_dict.module").unwrap().load_into(&mut network).unwrap();
    assert!(error(&network) < 1e-6);
}

#[cfg(feature = "pytorch")]
#[test]
fn hostile_pytorch_files_are_errors_and_nothing_runs() {
    for (name, says) in [
        ("runs_code.pt", "system` when Python loads it; nothing was run here"),
        ("runs_code.pkl", "system` when Python loads it; nothing was run here"),
        ("expanded.pt", "its tensors would take 4000000000 bytes, far more than the file's 1584"),
        ("deep.pt", "nesting exceeds"),
        ("bomb.pt", "cannot be read"),
    ] {
        let said = refusal(&file(name));
        assert!(said.contains(says), "{name}: {said}");
    }
}

#[cfg(feature = "pytorch")]
#[test]
fn a_pytorch_file_cut_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    for name in ["plain.pt", "legacy.pt"] {
        let whole = std::fs::read(file(name)).unwrap();
        for end in (0..whole.len() - 1).step_by(7) {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(!refusal(&path).is_empty(), "{name} cut at {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_changed_byte_never_panics(name in prop::sample::select(vec!["plain.safetensors", "plain.pt", "legacy.pt", "whole_model.pt"]), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut bytes = std::fs::read(file(name)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        std::fs::write(&path, bytes).unwrap();
        if let Ok(weights) = Weights::<f32>::read(&path) {
            let _ = weights.load_into(&mut network(4)); // either is fine
        }
    }
}
