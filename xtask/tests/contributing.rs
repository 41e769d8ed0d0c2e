//! The layer that CONTRIBUTING.md shows compiles, passes its tests and the gradient check, and is the one in the folder beside this file.
//!
//! A layer's file lives in nyang-nn and says `crate::`; here the root of this test stands in for the root of that crate.

pub use nyang_nn::{Build, Ctx, Error, Init, Module, Result, Saved, Spec};

/// What `nyang_nn::case` gives to layers.
pub mod case {
    use nyang_nn::{Element, Module, Result};

    pub use nyang_nn::case::Case;

    pub(crate) fn boxed<T: Element>(module: impl Module<T>) -> Result<Box<dyn Module<T>>> {
        Ok(Box::new(module))
    }
}

/// What `nyang_nn::module` gives to layers.
mod module {
    use nyang_nn::{Element, Error, Result, Shape, Tensor};

    pub(crate) fn check_dy<T: Element>(layer: &'static str, output: &Shape, dy: &Tensor<T>) -> Result<()> {
        if dy.shape() == output { Ok(()) } else { Err(Error::shape(layer, format!("{output}"), dy.shape())) }
    }
}

#[path = "contributing/leaky_relu.rs"]
mod leaky_relu;

use nyang_nn::check::{check_case, compare_precisions};
use nyang_nn::{Mode, Registry};

#[test]
fn the_layer_of_the_guide_passes_the_checks_of_every_layer() {
    for case in leaky_relu::CASES {
        let module = (case.build_f32)(&mut Init::seed(1)).unwrap();
        assert_eq!(module.kind(), leaky_relu::KIND);
        let registry = Registry::<f32>::standard().with(leaky_relu::KIND, leaky_relu::build);
        assert_eq!(registry.build(&module.spec(), &mut Init::seed(1)).unwrap().spec(), module.spec());
        for mode in [Mode::Train, Mode::Eval] {
            let report = check_case(case, mode).unwrap();
            assert!(report.passes(1e-7) && report.entries > 0, "{}: {report:?}", case.name);
            let (error, place) = compare_precisions(case, mode).unwrap();
            assert!(error <= 1e-5, "{}: {error:e} at {place}", case.name);
        }
    }
}

#[test]
fn the_guide_shows_this_very_file() {
    let (guide, file) = (include_str!("../../CONTRIBUTING.md"), include_str!("contributing/leaky_relu.rs"));
    assert!(guide.contains(&format!("```rust\n{file}```\n")), "copy xtask/tests/contributing/leaky_relu.rs into CONTRIBUTING.md");
}
