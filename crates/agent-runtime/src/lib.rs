//! The edges: reading, watching, publishing, state, lock, clock, and the loop around the engine.
