//! [`Scene`]: what a test must leave as it was.

use std::collections::BTreeMap;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use crate::{PATIENCE, children, descriptors, early_template, status, until};

/// What must be the same after a test as before: this process's and the
/// template's descriptors, and the children of both.
#[derive(Debug, PartialEq, Eq)]
pub struct Scene {
    template: u32,
    descriptors: [BTreeMap<i32, String>; 2],
    /// The children, and whether each is a zombie.
    zombies: [BTreeMap<u32, bool>; 2],
}

impl Scene {
    /// Looks at the early template.
    pub fn early() -> Scene {
        open_what_tokio_keeps();
        Scene::settled(early_template())
    }

    /// Looks at a template, once it has closed what the children had that were
    /// reaped before.
    pub fn settled(template: u32) -> Scene {
        // A process that reaps a child counts as asleep, too: it has closed
        // what it held of that child when the pidfd is gone.
        until("the template waits", || {
            let open = descriptors(template);
            let held = open.values().filter(|link| link.ends_with("[pidfd]"));
            let is_seen = !open.is_empty();
            (!is_seen || held.count() == children(template).len())
                && status(template, "State").starts_with('S')
        });
        Scene::of(template)
    }

    fn of(template: u32) -> Scene {
        let pids = [std::process::id(), template];
        // Whether it runs or sleeps is no difference; a zombie is one.
        let states = |pid| {
            let children = children(pid).into_iter();
            children.map(|(pid, state)| (pid, state == 'Z')).collect()
        };
        Scene {
            template,
            descriptors: pids.map(descriptors),
            zombies: pids.map(states),
        }
    }

    /// The template's pid.
    pub fn template(&self) -> u32 {
        self.template
    }

    /// The template's children.
    pub fn workers(&self) -> Vec<u32> {
        children(self.template).into_keys().collect()
    }

    /// Waits until all is as it was.
    pub fn must_return(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Scene::of(self.template);
            if now == *self {
                return;
            }
            if Instant::now() > deadline {
                assert_eq!(now, *self, "left: now, right: before");
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// With its feature `signal`, which another package may have turned on, tokio
/// opens two sockets at the first runtime of a process, for good.
fn open_what_tokio_keeps() {
    static OPENED: Once = Once::new();
    OPENED.call_once(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        drop(runtime.expect("a runtime"));
    });
}
