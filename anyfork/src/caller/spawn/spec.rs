//! [`SpawnSpec`]: what one spawn is to start.
//! RUNS IN: caller

use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::protocol::body::Body;
use crate::protocol::request::{Role, Surroundings};

/// The contents of one request, before they are encoded.
pub(crate) struct SpawnSpec {
    pub(crate) role: Role,
    pub(crate) body: Body,
    /// The control socket that a new template serves.
    pub(crate) control: Option<OwnedFd>,
    pub(crate) kill_on_drop: bool,
    /// Which of the standard streams are pipes to the caller.
    pub(crate) piped: [bool; 3],
    /// Which of the caller's standard streams are sent, and whether its directory is.
    pub(crate) surroundings: Surroundings,
    /// The capabilities that a program can have at most, if the caller has read them.
    pub(crate) bounding_set: Option<u64>,
    pub(crate) deadline: Option<Instant>,
}

impl SpawnSpec {
    /// What is started, for messages.
    pub(crate) fn what(&self) -> String {
        match (self.role, &self.body.program) {
            (Role::Template, _) => "a template".to_owned(),
            (_, Some(program)) => program.path.display().to_string(),
            (_, None) => self.body.name.to_string(),
        }
    }
}
