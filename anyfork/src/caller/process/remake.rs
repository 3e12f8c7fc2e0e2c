//! Makes a [`Process`] again that began with [`Process::new`].
//! RUNS IN: caller

use crate::caller::process::Process;
use crate::caller::process::origin::Origin;
use crate::error::{Error, Result};
use crate::spec::Setting;

impl Process {
    /// Makes a process of the same settings and preparation, if this one came from
    /// [`Process::new`] and was given no descriptor.
    pub(crate) fn remaker(&self) -> Option<impl Fn() -> Result<Process> + Send + Sync + use<>> {
        let state = self.state();
        let origin = Origin::with(state.origin.clone(), &state.setup)?;
        let (options, spares) = (state.options.clone(), state.spares);
        let is_base = state.is_base;
        Some(move || {
            let mut process = Process::new()?;
            let setup = origin.setup();
            let failed = || Error::io("make a process again", std::io::ErrorKind::OutOfMemory);
            process.setup().append(setup.ok_or_else(failed)?);
            if is_base && spares > 0 {
                process.setup().set(Setting::Spares(spares));
            }
            *process.options() = options.clone();
            Ok(process)
        })
    }
}
