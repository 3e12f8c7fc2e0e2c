//! [`Pending`]: the ways in which a call can be under way.
//! RUNS IN: caller

use crate::error::Error;
use crate::pool::fresh::FreshCall;
use crate::pool::pooled::PoolCall;

/// The ways in which a call can be under way.
pub enum Pending {
    /// It was refused.
    Failed(Error),
    /// In a process of its own.
    Fresh(Box<FreshCall>),
    /// In a pool.
    Pooled(PoolCall),
}
