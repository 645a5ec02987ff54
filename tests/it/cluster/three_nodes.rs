//! What one node knows, all nodes answer.
