//! The engine's rules, each as a sentence, and the whole against an independent model.

mod growing;
mod held;
mod held_any_order;
mod held_model;
mod held_steps;
mod model;
mod replaced;
mod resumed;
mod rules;
mod terms;
mod world;
