//! The short forms of the sweeps, part of `cargo xtask test`. What is too long for it: `docs/RELIABILITY.md`.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod errno;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod warm;
