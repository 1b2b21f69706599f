//! Repair scripts: statements are kept while a run goes on ([`spool`]), written
//! as scripts ([`script`]) at its end ([`write`]), and read again to be applied
//! ([`read`], [`set`]). What was applied decides what can be taken back ([`undo`]).
//! Which table comes before which is decided in [`order`].

mod order;
mod read;
mod script;
mod set;
mod spool;
mod undo;
mod write;

pub use order::{Numbers, Ordered, Related, inverse, order, steps};
pub use read::{Script, ScriptError, Statement};
pub use script::{Direction, Header, preamble};
pub use set::ScriptSet;
pub use spool::Spool;
pub use undo::{Effects, RenewedUndo};
pub use write::{RepairError, Scripts};
