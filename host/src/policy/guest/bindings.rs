//! What the contract's text says, as types. Generated; nothing outside [`super::component`] and
//! [`super::convert`] knows them.

wasmtime::component::bindgen!({
    path: "../policy-sdk/wit",
    world: "policy",
    imports: { default: trappable },
});
