//! The engine's settings: one for each class, the same for compiling and for running.

use crate::policy::fault::{Flaw, Rejection};
use crate::policy::limits::{Bounds, Class};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, Strategy};

/// An engine for a class. Everything that is not listed in [`crate::policy::scan::features`] is off.
pub(crate) fn engine(class: Class) -> Result<Engine, Rejection> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        // The bit patterns of NaN are the one thing in which processors differ.
        .cranelift_nan_canonicalization(true)
        // The bound. It counts bytes of bulk operations too, so a `memory.fill` in a loop ends.
        .consume_fuel(true)
        .max_wasm_stack(Bounds::of(class).stack_bytes)
        // A fresh instance for every evaluation, mapped on demand: a pool saves microseconds and leaked once.
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        // Images of memory are kept in a file; this process can have no file.
        .memory_init_cow(false)
        .memory_reservation(match class {
            Class::Compiled => 32 << 20,
            Class::Interpreter => 128 << 20,
        })
        .memory_reservation_for_growth(1 << 20)
        .memory_guard_size(64 << 10)
        .guard_before_linear_memory(false)
        .cranelift_debug_verifier(false)
        .generate_address_map(false)
        .concurrency_support(false);
    proposals(&mut config, class);
    Engine::new(&config)
        .map_err(|error| Rejection::new(Flaw::Sandbox, format!("making an engine: {error:#}")))
}

fn proposals(config: &mut Config, class: Class) {
    config
        .wasm_component_model(true)
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_extended_const(true)
        .wasm_simd(class == Class::Interpreter)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
}
