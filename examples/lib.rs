//! The examples are the programs beside this file. This library has no code: it exists so that the README's program is tested.
#![doc = include_str!("../README.md")]
