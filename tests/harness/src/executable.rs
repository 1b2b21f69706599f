//! Where the executables of this workspace are.

use std::path::PathBuf;

use crate::services::ServiceError;

/// An executable of this workspace, built in the same profile as the caller.
///
/// # Errors
///
/// [`ServiceError::NotBuilt`].
pub fn binary(name: &str) -> Result<PathBuf, ServiceError> {
    let own = std::env::current_exe().map_err(ServiceError::system("find this executable"))?;
    let mut directory = own.parent().map(PathBuf::from).unwrap_or_default();
    // Test executables are one directory deeper than programs.
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory.pop();
    }
    let path = directory.join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(ServiceError::NotBuilt { path })
    }
}
