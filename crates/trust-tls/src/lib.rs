//! The bundle in use: the anchor set, the verdict of a chain, and the rustls verifier.
