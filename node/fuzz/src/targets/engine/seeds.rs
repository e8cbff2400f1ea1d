//! Scripts that lead somewhere: a height decided, a round lost, blocks fetched, crashes in between.

/// A client's transaction, its signature checked.
const CLIENT: [u8; 5] = [7, 1, 4, 5, 4];
/// A block of one transaction, not spoilt.
const BLOCK: [u8; 4] = [12, 1, 6, 0];

fn proposal(round: u8) -> [u8; 7] {
    // The first block, the round, no proof of lock, the proposer in turn, any peer.
    [22, 0, round, 0, 0, 0, 0]
}

/// All vote alike for the first block: prevotes or precommits.
fn all(precommit: u8, round: u8) -> [u8; 5] {
    [20, precommit, round, 0, 15]
}

fn decide(round: u8) -> Vec<u8> {
    [&BLOCK[..], &proposal(round), &[5], &all(0, round), &all(1, round), &[5, 5]].concat()
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let nil = |precommit: u8, round: u8| [20, precommit, round, 220, 15];
    let script = |parts: &[&[u8]]| [&[0], parts.concat().as_slice()].concat();
    let four_rounds: Vec<u8> = (0..4).flat_map(decide).collect();
    let fetched = [&BLOCK[..], &[27, 249, 0, 1, 0, 0, 1], &[15, 0, 0, 0, 0, 0]].concat();
    vec![
        script(&[&four_rounds]),
        script(&[&CLIENT, &four_rounds, &CLIENT, &four_rounds]),
        // The lock of round 0 meets another block in round 1, and its own again with its proof.
        script(&[
            &BLOCK,
            &proposal(0),
            &[5],
            &all(0, 0),
            &nil(1, 0),
            &[1, 2, 1, 2],
            &BLOCK,
            &[22, 1, 1, 0, 0, 0, 0],
            &[22, 0, 1, 1, 0, 0, 0, 0, 0, 15, 0],
            &all(0, 1),
            &all(1, 1),
        ]),
        // Dies between two outputs of each step.
        script(&[
            &CLIENT,
            &[10, 1],
            &BLOCK,
            &proposal(0),
            &[5, 10, 2],
            &all(0, 0),
            &[10, 3],
            &all(1, 0),
            &[9],
        ]),
        script(&[&fetched, &fetched, &[9], &fetched]),
        // Spoilt blocks, a flood of certificates, evidence.
        script(&[&[12, 1, 6, 3, 9, 4, 0], &proposal(0), &[5], &all(0, 0), &all(1, 0)]),
        script(&[
            &BLOCK,
            &[25, 1, 0, 0, 0, 15, 0],
            &[159, 0, 0, 0, 0, 7, 1],
            &[31, 1, 4, 0, 0],
            &four_rounds,
        ]),
        // The record is lost; two others tell where they are.
        [&[15][..], &[27, 0, 0, 1, 1, 0, 0, 0], &[27, 0, 0, 1, 1, 0, 0, 1], &four_rounds].concat(),
        script(&[&CLIENT, &[0, 250, 54, 238, 128, 0], &[1, 0, 1, 1, 1, 2, 1, 3], &four_rounds]),
        script(&[&[18, 3, 1, 7, 0, 0], &[19, 2, 1, 0], &[17, 1, 3, 1, 1, 16], &[8, 4, 40, 4]]),
    ]
}
