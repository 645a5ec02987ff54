//! The composition root: builds every layer from the settings and ties them together.
