//! The end-to-end suites are under `tests/`; this library is empty.
