//! The engine's rules, each as a sentence, and the whole against an independent model.

mod held;
mod held_model;
mod model;
mod rules;
mod world;
