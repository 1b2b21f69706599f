//! Flags, settings and exit codes.
