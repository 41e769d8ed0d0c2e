//! The examples are the programs beside this file. This library has no code: it exists so that the README's program is tested, and with it every
//! program in the documentation's pages.
#![doc = include_str!("../README.md")]

#[cfg(doctest)]
mod docs {
    #[doc = include_str!("../docs/data.md")]
    mod data {}
    #[doc = include_str!("../docs/files.md")]
    mod files {}
    #[doc = include_str!("../docs/inference.md")]
    mod inference {}
    #[doc = include_str!("../docs/ko/start.md")]
    mod ko_start {}
    #[doc = include_str!("../docs/ko/tutorial.md")]
    mod ko_tutorial {}
    #[doc = include_str!("../docs/model.md")]
    mod model {}
    #[doc = include_str!("../docs/own-layer.md")]
    mod own_layer {}
    #[doc = include_str!("../docs/start.md")]
    mod start {}
    #[doc = include_str!("../docs/training.md")]
    mod training {}
    #[doc = include_str!("../docs/watching.md")]
    mod watching {}
}
