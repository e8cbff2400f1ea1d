//! The live screen of `trustnet up`: a pure function from what is known to a frame.
//!
//! [`Model`] holds what is shown, [`draw`] paints it. Neither reads a clock, a file or a terminal, so
//! that every screen can be tested character by character.

pub mod draw;
pub mod format;
pub mod model;
pub mod sections;
pub mod terminal;

pub use draw::draw;
pub use model::Model;
