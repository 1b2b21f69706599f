//! Compares what surrounds the rows of tables: keys, constraints, indexes, sequences, triggers.

mod compare;

pub use compare::compare_schemas;
