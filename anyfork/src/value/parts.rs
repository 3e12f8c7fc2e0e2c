//! Takes an outermost tuple, `Option` or `Result` apart, and joins the codecs of its parts.
//! RUNS IN: caller, child
//!
//! The attribute's code cannot see what an alias stands for. So each type is taken apart
//! into as many slots as the longest tuple has parts, and the codecs of all slots are
//! joined; the slots that a type does not use are empty.

use std::marker::PhantomData;

use crate::value::probe::{Empty, Probe};
use crate::value::{Codec, Decoder, Encoder, ValueError};

/// What a type is made of: how, and a probe for each slot.
pub struct Shape<K, S> {
    /// How the parts are joined.
    pub kind: K,
    /// A probe for each slot.
    pub slots: S,
}

/// A type that is not taken apart.
pub struct Whole;
/// An `Option`.
pub struct Optional;
/// A `Result`.
pub struct Fallible;
/// A tuple of `N` parts.
pub struct Tuple<const N: usize>;

/// The `Ok` half of a `Result`, which may be a tuple.
pub struct OkProbe<T>(PhantomData<fn() -> T>);

/// The codec of a type that was taken apart.
pub struct Joined<K, C>(K, C);

/// Joins the codecs of all slots.
pub fn join<K, C>(kind: K, codecs: C) -> Joined<K, C> {
    Joined(kind, codecs)
}

/// All slots, of which the first are given.
macro_rules! slots {
    ($kind:expr, $($first:expr),*) => {
        slots!(@fill $kind, [$($first,)*] [$($first,)*
            Probe::<Empty>::new(), Probe::<Empty>::new(), Probe::<Empty>::new(),
            Probe::<Empty>::new(), Probe::<Empty>::new(), Probe::<Empty>::new(),
            Probe::<Empty>::new(), Probe::<Empty>::new(), Probe::<Empty>::new(),
            Probe::<Empty>::new(), Probe::<Empty>::new(), Probe::<Empty>::new(),
        ])
    };
    (@fill $kind:expr, [$($first:expr,)*]
        [$a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr,
         $g:expr, $h:expr, $i:expr, $j:expr, $k:expr, $l:expr, $($more:expr,)*]) => {
        Shape { kind: $kind, slots: ($a, $b, $c, $d, $e, $f, $g, $h, $i, $j, $k, $l) }
    };
}

/// The probes of all slots, of which the first are of these types.
macro_rules! Slots {
    ($($first:ty),*) => {
        Slots!(@fill [$($first,)* Probe<Empty>, Probe<Empty>, Probe<Empty>, Probe<Empty>,
            Probe<Empty>, Probe<Empty>, Probe<Empty>, Probe<Empty>, Probe<Empty>, Probe<Empty>,
            Probe<Empty>, Probe<Empty>,])
    };
    (@fill [$a:ty, $b:ty, $c:ty, $d:ty, $e:ty, $f:ty, $g:ty, $h:ty, $i:ty, $j:ty, $k:ty,
        $l:ty, $($more:ty,)*]) => {
        ($a, $b, $c, $d, $e, $f, $g, $h, $i, $j, $k, $l)
    };
}

/// Types that are taken apart.
pub trait ApartShape {
    /// Its shape.
    type Shape;
    /// Takes it apart.
    fn shape(&self) -> Self::Shape;
}

/// All other types.
#[allow(clippy::type_complexity, reason = "a slot for each part")]
pub trait WholeShape<T> {
    /// Its shape.
    fn shape(&self) -> Shape<Whole, Slots![Probe<T>]>;
}

impl<T> WholeShape<T> for Probe<T> {
    fn shape(&self) -> Shape<Whole, Slots![Probe<T>]> {
        slots!(Whole, Probe::<T>::new())
    }
}

/// First slots that are taken apart once more: an `Ok` half that is a tuple.
pub trait ApartOk {
    /// Its shape.
    type Shape;
    /// Takes it apart.
    fn ok_shape(&self) -> Self::Shape;
}

/// All other first slots.
#[allow(clippy::type_complexity, reason = "a slot for each part")]
pub trait WholeOk<T> {
    /// Its shape.
    fn ok_shape(&self) -> Shape<Whole, Slots![Probe<T>]>;
}

impl<T> WholeOk<T> for OkProbe<T> {
    fn ok_shape(&self) -> Shape<Whole, Slots![Probe<T>]> {
        slots!(Whole, Probe::<T>::new())
    }
}

impl<T> WholeOk<T> for Probe<T> {
    fn ok_shape(&self) -> Shape<Whole, Slots![Probe<T>]> {
        slots!(Whole, Probe::<T>::new())
    }
}

impl<T> ApartShape for &&Probe<Option<T>> {
    type Shape = Shape<Optional, Slots![Probe<T>]>;
    fn shape(&self) -> Self::Shape {
        slots!(Optional, Probe::<T>::new())
    }
}

impl<T, E> ApartShape for &&Probe<Result<T, E>> {
    type Shape = Shape<Fallible, Slots![OkProbe<T>, Probe<E>]>;
    fn shape(&self) -> Self::Shape {
        slots!(Fallible, OkProbe::<T>(PhantomData), Probe::<E>::new())
    }
}

impl<T, Rest, C: Codec<T>> Codec<T> for Joined<Whole, (C, Rest)> {
    fn encode(&self, value: T, out: &mut Encoder) -> Result<(), ValueError> {
        self.1.0.encode(value, out)
    }

    fn decode(&self, from: &mut Decoder) -> Result<T, ValueError> {
        self.1.0.decode(from)
    }
}

impl<T, Rest, C: Codec<T>> Codec<Option<T>> for Joined<Optional, (C, Rest)> {
    fn encode(&self, value: Option<T>, out: &mut Encoder) -> Result<(), ValueError> {
        out.u8(u8::from(value.is_some()));
        value.map_or(Ok(()), |value| self.1.0.encode(value, out))
    }

    fn decode(&self, from: &mut Decoder) -> Result<Option<T>, ValueError> {
        match from.u8()? {
            0 => Ok(None),
            1 => self.1.0.decode(from).map(Some),
            _ => Err(ValueError::new("it is neither `Some` nor `None`")),
        }
    }
}

impl<T, E, Rest, C: Codec<T>, D: Codec<E>> Codec<Result<T, E>>
    for Joined<Fallible, (C, (D, Rest))>
{
    fn encode(&self, value: Result<T, E>, out: &mut Encoder) -> Result<(), ValueError> {
        out.u8(u8::from(value.is_err()));
        match value {
            Ok(value) => self.1.0.encode(value, out),
            Err(error) => self.1.1.0.encode(error, out),
        }
    }

    fn decode(&self, from: &mut Decoder) -> Result<Result<T, E>, ValueError> {
        match from.u8()? {
            0 => self.1.0.decode(from).map(Ok),
            1 => self.1.1.0.decode(from).map(Err),
            _ => Err(ValueError::new("it is neither `Ok` nor `Err`")),
        }
    }
}

/// The codecs of slots as nested pairs: `(A, (B, (C, Rest)))`.
macro_rules! nested {
    ($rest:ident;) => { $rest };
    ($rest:ident; $first:ident $($more:ident)*) => { ($first, nested!($rest; $($more)*)) };
}

macro_rules! tuples {
    ($($n:literal: $($part:ident $codec:ident $value:ident)*;)*) => {$(
        impl<$($part),*> ApartShape for &&Probe<($($part,)*)> {
            type Shape = Shape<Tuple<$n>, Slots![$(Probe<$part>),*]>;
            fn shape(&self) -> Self::Shape {
                slots!(Tuple::<$n>, $(Probe::<$part>::new()),*)
            }
        }

        impl<$($part),*> ApartOk for &&OkProbe<($($part,)*)> {
            type Shape = Shape<Tuple<$n>, Slots![$(Probe<$part>),*]>;
            fn ok_shape(&self) -> Self::Shape {
                slots!(Tuple::<$n>, $(Probe::<$part>::new()),*)
            }
        }

        impl<Rest, $($part, $codec: Codec<$part>),*> Codec<($($part,)*)>
            for Joined<Tuple<$n>, nested!(Rest; $($codec)*)>
        {
            fn encode(&self, value: ($($part,)*), out: &mut Encoder) -> Result<(), ValueError> {
                let ($($value,)*) = value;
                let rest = &self.1;
                $(
                    rest.0.encode($value, out)?;
                    let rest = &rest.1;
                )*
                let _ = rest;
                Ok(())
            }

            fn decode(&self, from: &mut Decoder) -> Result<($($part,)*), ValueError> {
                let rest = &self.1;
                $(
                    let $value = rest.0.decode(from)?;
                    let rest = &rest.1;
                )*
                let _ = rest;
                Ok(($($value,)*))
            }
        }
    )*};
}

tuples! {
    1: A C1 a;
    2: A C1 a B C2 b;
    3: A C1 a B C2 b C C3 c;
    4: A C1 a B C2 b C C3 c D C4 d;
    5: A C1 a B C2 b C C3 c D C4 d E C5 e;
    6: A C1 a B C2 b C C3 c D C4 d E C5 e F C6 f;
    7: A C1 a B C2 b C C3 c D C4 d E C5 e F C6 f G C7 g;
    8: A C1 a B C2 b C C3 c D C4 d E C5 e F C6 f G C7 g H C8 h;
    9: A C1 a B C2 b C C3 c D C4 d E C5 e F C6 f G C7 g H C8 h I C9 i;
    10: A C1 a B C2 b C C3 c D C4 d E C5 e F C6 f G C7 g H C8 h I C9 i J C10 j;
    11: A C1 a B C2 b C C3 c D C4 d E C5 e F C6 f G C7 g H C8 h I C9 i J C10 j K C11 k;
    12: A C1 a B C2 b C C3 c D C4 d E C5 e F C6 f G C7 g H C8 h I C9 i J C10 j K C11 k L C12 l;
}
