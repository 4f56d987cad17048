//! The operator's hand on agentd.
