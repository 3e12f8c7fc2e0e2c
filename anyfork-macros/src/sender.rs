//! The parameter that takes events: `Sender<E>`.
//! RUNS IN: the compiler

use syn::{GenericArgument, PatType, PathArguments, PathSegment, Type};

use crate::argument::Argument;
use crate::errors::Errors;
use crate::function::bare;

/// The parameter that takes events.
pub(crate) struct SenderParameter {
    /// Its place among all parameters.
    pub(crate) index: usize,
    /// The type of its events.
    pub(crate) event: Type,
}

/// Takes the parameter that takes events out of the list. There is at most one.
pub(crate) fn take_sender(
    parameters: &mut Vec<&PatType>,
    errors: &mut Errors,
) -> Option<SenderParameter> {
    let mut found = None;
    let mut index = 0;
    parameters.retain(|parameter| {
        let Some(segment) = sender(&parameter.ty) else {
            index += 1;
            return true;
        };
        let event = event(segment);
        match (event, &found) {
            (_, Some(_)) => errors.at(&parameter.ty, "a function has one `Sender` at most"),
            (None, None) => {
                let message = "the type of the events is missing: `Sender<E>`";
                errors.at(&parameter.ty, message);
            }
            (Some(event), None) => {
                Argument::check_result(&event, false, errors);
                found = Some(SenderParameter { index, event });
            }
        }
        false
    });
    found
}

fn sender(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(ty) if ty.qself.is_none() => {
            let last = ty.path.segments.last();
            last.filter(|it| it.ident == "Sender")
        }
        _ => None,
    }
}

/// The `E` of `Sender<E>`.
fn event(segment: &PathSegment) -> Option<Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(ty)) if arguments.args.len() == 1 => Some(ty.clone()),
        _ => None,
    }
}
