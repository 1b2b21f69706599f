//! What a program that holds passwords does first.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps of this process, which would contain passwords and rows, and reading its
/// memory and environment to other processes of the same user. A debugger needs root then.
///
/// The limit on the size of a core dump alone is not enough: the kernel ignores it if it pipes core
/// dumps into a program (core(5)).
pub fn forbid_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A sandbox may refuse either call. The program works without them.
    let refused: Result<(), Errno> = setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = refused {
        crate::logging::print_status(format_args!(
            "core dumps of this process could not be forbidden: {error}"
        ));
    }
}
