//! The short forms, part of `cargo xtask test`. What is too long for it: `docs/RELIABILITY.md`.

#[cfg(test)]
mod wear;
