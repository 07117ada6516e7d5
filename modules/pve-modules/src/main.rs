//! Dispatches to the module that is named.
fn main() {}
