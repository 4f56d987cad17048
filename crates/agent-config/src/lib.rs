//! agentd.toml: fragments to inputs to settings, with errors that name file, line and column.
