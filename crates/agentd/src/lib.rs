//! The service: start-up, signals, service manager and control server.
