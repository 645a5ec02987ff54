//! The library, as its example uses it.

#[path = "../../examples/embed.rs"]
mod embed;

#[test]
fn the_example_runs_to_its_end() {
    embed::main().expect("every step of the example");
}
