//! `plimsoll-componentize MODULE COMPONENT`: wraps a core module, built for `wasm32-unknown-unknown` with the
//! policy SDK, into a component. The module itself carries the contract in a custom section.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, component] = arguments.as_slice() else {
        bail!("usage: plimsoll-componentize MODULE COMPONENT");
    };
    let core = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("wrapping {}: was it built with the policy SDK?", module.display()))?;
    std::fs::write(component, bytes).with_context(|| format!("writing {}", component.display()))
}
