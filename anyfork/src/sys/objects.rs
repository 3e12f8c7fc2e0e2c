//! The objects that are loaded: the program and its libraries (dl_iterate_phdr(3), elf(5)).
//! RUNS IN: program before main, template, caller

use std::collections::BTreeSet;
use std::env;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::slice;

use libc::{Elf64_Phdr as Header64, PT_DYNAMIC, PT_LOAD, PT_NOTE};

/// A program header, of the size that this platform has.
#[cfg(target_pointer_width = "64")]
type Header = Header64;
#[cfg(not(target_pointer_width = "64"))]
type Header = libc::Elf32_Phdr;

/// A loaded object, for the time of a visit.
pub(crate) struct Object<'a> {
    /// What its addresses are relative to.
    pub(crate) base: usize,
    /// Its path; empty for the program.
    path: &'a CStr,
    headers: &'a [Header],
}

/// Visits the objects in the order of their loading, the program first, until one breaks.
pub(crate) fn visit(visitor: &mut dyn FnMut(&Object<'_>) -> ControlFlow<()>) {
    type Visitor<'a> = &'a mut dyn FnMut(&Object<'_>) -> ControlFlow<()>;
    unsafe extern "C" fn call(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        visitor: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid object for the time of the call.
        let info = unsafe { &*info };
        // SAFETY: `visit` passes the address of its local, which nobody else uses now.
        let visitor = unsafe { &mut *visitor.cast::<Visitor<'_>>() };
        let headers = match info.dlpi_phnum {
            0 => &[],
            // SAFETY: the object says that it has so many program headers.
            n => unsafe { slice::from_raw_parts(info.dlpi_phdr, n.into()) },
        };
        let path = match info.dlpi_name.is_null() {
            true => c"",
            // SAFETY: the loader passes a C string.
            false => unsafe { CStr::from_ptr(info.dlpi_name) },
        };
        let base = info.dlpi_addr as usize;
        // Any other value than 0 ends the iteration.
        visitor(&Object {
            base,
            path,
            headers,
        })
        .is_break()
        .into()
    }
    let mut visitor: Visitor<'_> = visitor;
    // SAFETY: `call` uses the local for the time of this call only.
    unsafe { libc::dl_iterate_phdr(Some(call), (&raw mut visitor).cast()) };
}

impl Object<'_> {
    /// The entries of its dynamic section, with their tags.
    pub(crate) fn dynamic(&self) -> impl Iterator<Item = (isize, usize)> {
        let header = self.headers.iter().find(|it| it.p_type == PT_DYNAMIC);
        let mut entry = header.map_or(ptr::null(), |header| {
            self.base.wrapping_add(header.p_vaddr as usize) as *const Dynamic
        });
        std::iter::from_fn(move || {
            // SAFETY: the section is loaded there; behind its last entry, which has a null
            // tag, nothing is read.
            let Dynamic { tag, value } = *unsafe { entry.as_ref() }?;
            if tag == DT_NULL {
                return None;
            }
            // SAFETY: there is a further entry.
            entry = unsafe { entry.add(1) };
            Some((tag, value))
        })
    }

    /// Whether the address is in its memory.
    fn holds(&self, address: usize) -> bool {
        self.headers.iter().any(|header| {
            let start = self.base.wrapping_add(header.p_vaddr as usize);
            header.p_type == PT_LOAD
                && address.wrapping_sub(start) < usize::try_from(header.p_memsz).unwrap_or(0)
        })
    }

    /// Whether it has this crate in it, of any version.
    fn has_note(&self) -> bool {
        let notes = self.headers.iter().filter(|it| it.p_type == PT_NOTE);
        notes.into_iter().any(|header| {
            let start = self.base.wrapping_add(header.p_vaddr as usize);
            let len = usize::try_from(header.p_memsz).unwrap_or(0);
            if !self.holds(start) {
                return false;
            }
            // SAFETY: the object has so many bytes of notes loaded there.
            let notes = unsafe { slice::from_raw_parts(start as *const u8, len) };
            notes.windows(NOTE.0.len()).any(|it| it == NOTE.0)
        })
    }

    /// The names of the libraries that it is linked with (`DT_NEEDED`), and its own
    /// (`DT_SONAME`).
    fn names(&self) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let entries: Vec<_> = self.dynamic().collect();
        let table = entries.iter().find(|(tag, _)| *tag == DT_STRTAB);
        let Some((_, table)) = table else {
            return (Vec::new(), None);
        };
        // Most loaders have made an address of the offset, but not all.
        let table = match self.holds(*table) {
            true => *table,
            false => self.base.wrapping_add(*table),
        };
        let name = |offset: usize| {
            let name = table.wrapping_add(offset);
            if !self.holds(name) {
                return None;
            }
            // SAFETY: the object says that a C string of its table is there.
            let name = unsafe { CStr::from_ptr(name as *const c_char) };
            Some(name.to_bytes().to_vec())
        };
        let of = |wanted: isize| {
            let entries = entries.iter().filter(move |(tag, _)| *tag == wanted);
            entries.filter_map(|(_, offset)| name(*offset))
        };
        (of(DT_NEEDED).collect(), of(DT_SONAME).next())
    }
}

/// An entry of a dynamic section: `Elf64_Dyn` of elf(5), or `Elf32_Dyn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Dynamic {
    tag: isize,
    value: usize,
}

const DT_NULL: isize = 0;
const DT_NEEDED: isize = 1;
const DT_STRTAB: isize = 5;
const DT_SONAME: isize = 14;

/// A note (elf(5)) in the object that this crate is linked into. It has no version: the
/// versions understand each other's greeting.
#[repr(C, align(4))]
struct Note([u8; 20]);

#[used]
#[unsafe(link_section = ".note.anyfork")]
static NOTE: Note = {
    let sizes = [8u32.to_ne_bytes(), 0u32.to_ne_bytes(), 1u32.to_ne_bytes()];
    let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (sizes[0], sizes[1], sizes[2]);
    let [n, o, p, q, r, s, t, u] = *b"anyfork\0";
    Note([a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q, r, s, t, u])
};

/// Whether this code is part of the program's own file, and not of a library.
pub(crate) fn is_main_program() -> bool {
    let mut is_main = false;
    visit(&mut |program| {
        is_main = program.holds(ptr::from_ref(&NOTE).addr());
        ControlFlow::Break(())
    });
    is_main
}

/// The path of the library that this code is part of.
pub(crate) fn own_library() -> Option<PathBuf> {
    let mut found = None;
    visit(&mut |object| {
        if !object.holds(ptr::from_ref(&NOTE).addr()) {
            return ControlFlow::Continue(());
        }
        found = Some(PathBuf::from(OsStr::from_bytes(object.path.to_bytes())));
        ControlFlow::Break(())
    });
    found.filter(|path| !path.as_os_str().is_empty())
}

/// Whether a program that is executed from this program's file has this crate in it from
/// its start: in the file itself, in a library that it is linked with, directly or not, or
/// in one that the environment has it load.
pub(crate) fn is_linked_at_start() -> bool {
    /// An object, with all that one may look for.
    struct Loaded {
        names: [Vec<u8>; 2],
        needs: Vec<Vec<u8>>,
        has_note: bool,
    }
    if is_main_program() {
        return true;
    }
    let mut all: Vec<Loaded> = Vec::new();
    visit(&mut |object| {
        let (mut needs, own) = object.names();
        if all.is_empty() {
            needs.extend(preloaded());
        }
        let path = object.path.to_bytes();
        all.push(Loaded {
            names: [own.unwrap_or_default(), file_name(path)],
            needs,
            has_note: object.has_note(),
        });
        ControlFlow::Continue(())
    });
    let (mut seen, mut next) = (BTreeSet::new(), vec![0]);
    while let Some(index) = next.pop() {
        let Some(object) = all.get(index).filter(|_| seen.insert(index)) else {
            continue;
        };
        if object.has_note {
            return true;
        }
        for name in &object.needs {
            let name = [name.clone(), file_name(name)];
            let is_meant = |it: &Loaded| it.names.iter().any(|own| name.contains(own));
            next.extend((0..all.len()).filter(|index| is_meant(&all[*index])));
        }
    }
    false
}

/// The libraries that the environment has the loader load (ld.so(8)).
fn preloaded() -> Vec<Vec<u8>> {
    let list = env::var_os("LD_PRELOAD").unwrap_or_default();
    let names = list.as_bytes().split(|byte| [b' ', b':'].contains(byte));
    names.filter(|it| !it.is_empty()).map(file_name).collect()
}

fn file_name(path: &[u8]) -> Vec<u8> {
    let name = Path::new(OsStr::from_bytes(path)).file_name();
    name.map(|it| it.as_bytes().to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_the_main_program() {
        assert!(is_main_program() && is_linked_at_start());
        assert_eq!(own_library(), None);
    }

    #[test]
    fn objects_have_their_names_and_the_note() {
        let (mut notes, mut names) = (Vec::new(), Vec::new());
        visit(&mut |object| {
            notes.push(object.has_note());
            names.push(object.names());
            ControlFlow::Continue(())
        });
        assert!(notes[0] && !notes[1..].contains(&true), "{notes:?}");
        let (needs, own) = &names[0];
        assert_eq!(*own, None);
        let is_loaded = |it: &Vec<u8>| names.iter().any(|(_, own)| own.as_ref() == Some(it));
        assert!(needs.iter().all(is_loaded), "{names:?}");
    }
}
