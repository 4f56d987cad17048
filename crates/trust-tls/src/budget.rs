//! How much work a stranger may cause. Whoever answers the connection chooses the chain; without a bound it could keep
//! the agent busy for minutes.

use crate::code::Code;

/// Signature checks for one verdict. 150 re-keyed CAs of one name are real, and each costs one; these are a third of a
/// second with ECDSA.
const SIGNATURES: u32 = 5000;
/// Steps from a certificate to one that may have issued it. The worst real chain takes a few dozen; certificates that
/// all issue one another would take millions.
const STEPS: u32 = 20_000;
/// Whole paths that are judged. Each has been proven by its signatures before; what makes a proven path fail is an
/// expired or misused certificate in it, and real ones have two or three ways around.
const PATHS: u32 = 500;

/// What is left.
#[derive(Debug)]
pub(crate) struct Budget {
    signatures: u32,
    steps: u32,
    paths: u32,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { signatures: SIGNATURES, steps: STEPS, paths: PATHS }
    }

    pub(crate) fn signature(&mut self) -> Result<(), Code> {
        spend(&mut self.signatures)
    }

    pub(crate) fn step(&mut self) -> Result<(), Code> {
        spend(&mut self.steps)
    }

    pub(crate) fn path(&mut self) -> Result<(), Code> {
        spend(&mut self.paths)
    }
}

fn spend(left: &mut u32) -> Result<(), Code> {
    *left = left.checked_sub(1).ok_or(Code::TooComplex)?;
    Ok(())
}
