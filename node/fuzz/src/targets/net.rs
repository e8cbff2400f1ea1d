//! What peers send below the engine, and the file in which they are remembered.

use trustnet_net::fuzzing;

use crate::memory::bounded;

const FRAMES: u8 = 0;
const HELLO: u8 = 1;
const EXCHANGE: u8 = 2;
const BOOK: u8 = 3;
const RECORD: u8 = 4;
const KINDS: u8 = 5;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    bounded(bytes, || match kind % KINDS {
        FRAMES => {
            if let Some((&cut, stream)) = bytes.split_first() {
                fuzzing::frames(stream, usize::from(cut));
            }
        }
        HELLO => fuzzing::hello(bytes),
        EXCHANGE => fuzzing::peer_exchange(bytes),
        BOOK => fuzzing::address_book(bytes),
        _ => fuzzing::record(bytes),
    });
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let [stream, hello, exchange, book, record] = fuzzing::seeds();
    let kinds = [
        (FRAMES, [vec![3], stream].concat()),
        (HELLO, hello),
        (EXCHANGE, exchange),
        (BOOK, book),
        (RECORD, record),
    ];
    kinds.map(|(kind, bytes)| [vec![kind], bytes].concat()).to_vec()
}
