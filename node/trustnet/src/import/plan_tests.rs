#![allow(clippy::unwrap_used)]
use super::*;

const FILE: &str = "7,9,4,100\n9,7,-10,50\n7,8,10,60.5\n7,9,-1,200\n";

fn plan() -> Plan {
    plan_of(FILE)
}

fn plan_of(text: &str) -> Plan {
    let ratings = Ratings::parse("r.csv", text.as_bytes(), u64::MAX).unwrap();
    Plan::new(&ratings, &ImportSeed::from_bytes([3; 32]))
}

fn fresh(plan: &Plan) -> Vec<Account> {
    vec![Account::default(); plan.people.len()]
}

/// The accounts and ratings of a chain on which the first `count` transactions of every lane are done.
fn after(plan: &Plan, work: &Work, counts: &[usize]) -> (Vec<Account>, CurrentRatings) {
    let (mut accounts, mut current) = (fresh(plan), CurrentRatings::new());
    for (lane, &count) in work.lanes.iter().zip(counts) {
        for item in &lane.items[..count] {
            accounts[lane.person].nonce += 1;
            match *item {
                Item::Register => accounts[lane.person].node = Some(work.ids[lane.person]),
                Item::Rate { to, stars, time_ms, .. } => {
                    current.insert((work.ids[lane.person], work.ids[to]), (stars, time_ms));
                }
            }
        }
    }
    (accounts, current)
}

#[test]
fn a_fresh_chain_lacks_every_person_and_rating_in_order() {
    let plan = plan();
    let work = plan.missing(&fresh(&plan), &CurrentRatings::new());
    let lines = |lane: &Lane| -> Vec<u32> {
        let line = |item: &Item| if let Item::Rate { line, .. } = item { *line } else { 0 };
        lane.items.iter().map(line).collect()
    };
    let lanes: Vec<_> =
        work.lanes.iter().map(|l| (plan.people[l.person].number, l.first_nonce, lines(l))).collect();
    assert_eq!(lanes, [(7, 1, vec![0, 3, 1, 4]), (8, 1, vec![0]), (9, 1, vec![0, 2])]);
    assert_eq!((work.registered, work.rated, plan.rating_count()), (0, 0, 4));
    assert!(work.lanes.iter().all(|lane| lane.registers));
}

#[test]
fn a_second_run_has_nothing_to_do() {
    let plan = plan();
    let work = plan.missing(&fresh(&plan), &CurrentRatings::new());
    let (accounts, current) = after(&plan, &work, &[4, 1, 2]);
    let again = plan.missing(&accounts, &current);
    assert!(again.lanes.is_empty());
    assert_eq!((again.registered, again.rated), (3, 4));
}

#[test]
fn an_interrupted_import_goes_on_with_the_next_nonce() {
    let plan = plan();
    let work = plan.missing(&fresh(&plan), &CurrentRatings::new());
    let (accounts, current) = after(&plan, &work, &[3, 1, 0]);
    let rest = plan.missing(&accounts, &current);
    let lanes: Vec<_> = rest
        .lanes
        .iter()
        .map(|l| (plan.people[l.person].number, l.first_nonce, l.items.len(), l.registers))
        .collect();
    assert_eq!(lanes, [(7, 4, 1, false), (9, 1, 2, true)]);
    assert_eq!((rest.registered, rest.rated), (2, 2));
    assert_eq!(rest.ids, work.ids);
}

#[test]
fn a_newer_rating_on_the_chain_is_not_overwritten_by_an_older_one_of_the_file() {
    let plan = plan();
    let work = plan.missing(&fresh(&plan), &CurrentRatings::new());
    let (accounts, mut current) = after(&plan, &work, &[4, 1, 2]);
    current.insert((work.ids[0], work.ids[2]), (5, 999_000));
    assert!(plan.missing(&accounts, &current).lanes.is_empty());
    current.insert((work.ids[0], work.ids[2]), (5, 150_000));
    let rest = plan.missing(&accounts, &current);
    assert_eq!(rest.lanes[0].items, [Item::Rate { to: 2, stars: 2, time_ms: 200_000, line: 4 }]);
}

#[test]
fn a_corrected_rating_of_the_same_time_is_sent() {
    let plan = plan();
    let work = plan.missing(&fresh(&plan), &CurrentRatings::new());
    let (accounts, current) = after(&plan, &work, &[4, 1, 2]);
    let corrected = plan_of(&FILE.replace("9,7,-10,50", "9,7,10,50"));
    let rest = corrected.missing(&accounts, &current);
    assert_eq!(rest.lanes.len(), 1);
    assert_eq!((rest.lanes[0].first_nonce, rest.lanes[0].items.len()), (3, 1));
}

#[test]
fn a_larger_file_keeps_the_ids_of_people_who_are_there() {
    let plan = plan();
    let work = plan.missing(&fresh(&plan), &CurrentRatings::new());
    let (_, current) = after(&plan, &work, &[4, 1, 2]);
    // Person 9 appears earlier in the larger file; its registration stays what it is.
    let larger = plan_of(&format!("{FILE}9,1,3,10\n"));
    let mut accounts = fresh(&larger);
    for (person, id) in [7u64, 8, 9].iter().zip(&work.ids) {
        let place = larger.people.iter().position(|p| p.number == *person).unwrap();
        accounts[place] = Account { nonce: 9, node: Some(*id) };
    }
    let rest = larger.missing(&accounts, &current);
    let place = larger.people.iter().position(|p| p.number == 9).unwrap();
    assert_ne!(larger.people[place].id, work.ids[2]);
    assert_eq!(rest.ids[place], work.ids[2]);
    assert_eq!(rest.lanes.iter().map(|l| larger.people[l.person].number).collect::<Vec<_>>(), [1, 9]);
}

#[test]
fn transactions_are_a_pure_function_of_seed_and_file() {
    let (a, b) = (plan(), plan());
    let work = a.missing(&fresh(&a), &CurrentRatings::new());
    let lane = &work.lanes[0];
    for item in 0..lane.items.len() {
        let bytes = a.sign(&work, lane, item, "test-1");
        assert_eq!(bytes, b.sign(&work, lane, item, "test-1"));
        let decoded = SignedTransaction::decode(&bytes).unwrap();
        decoded.check_shape().unwrap();
        assert_eq!(decoded.tx.nonce, item as u64 + 1);
        let check = decoded.signature_check("test-1");
        assert!(check.key.verify(&check.message, &check.signature));
    }
    let rate = SignedTransaction::decode(&a.sign(&work, lane, 1, "test-1")).unwrap();
    assert_eq!(rate.tx.time_ms, 60_500);
    assert!(matches!(rate.tx.action, Action::Rate { stars: 5, category: Category::Honesty, .. }));
}

#[test]
fn messages_name_the_line_of_the_file() {
    let plan = plan();
    let work = plan.missing(&fresh(&plan), &CurrentRatings::new());
    assert_eq!(plan.describe(&work.lanes[0], 3), "r.csv:4: person 7 rates person 9 with 2 stars");
    assert_eq!(plan.describe(&work.lanes[1], 0), "r.csv:3: registering person 8");
}
