//! The interface between agentctl and agentd: wire types and transport (Varlink over a Unix socket).
