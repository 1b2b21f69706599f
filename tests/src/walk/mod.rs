//! A random walk over comparing, repairing, undoing and changing rows, and what must hold after
//! each of its steps.

mod shapes;
mod state;

pub use shapes::{SHAPES, Shape, create_constraints, create_tables};
pub use state::{Row, State, Table};
