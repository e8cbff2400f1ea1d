#![allow(clippy::unwrap_used)]
use super::*;

fn json(text: &str, names: &[&'static str]) -> Result<Args, RpcError> {
    Args::bind(serde_json::from_str(text).unwrap(), names)
}

fn uri(name: &'static str, text: &str) -> Args {
    Args::bind(Params::Named(vec![(name.to_owned(), Arg::Uri(text.to_owned()))]), &[name]).unwrap()
}

#[test]
fn numbers_come_as_numbers_as_text_and_bare_or_quoted_in_a_uri() {
    for text in [r#"{"height":5}"#, r#"{"height":"5"}"#, r#"{"height":5.0}"#, r#"["5"]"#, "[5]"] {
        assert_eq!(json(text, &["height"]).unwrap().int("height").unwrap(), Some(5), "{text}");
    }
    assert_eq!(uri("height", "5").int("height").unwrap(), Some(5));
    assert_eq!(uri("height", "\"5\"").int("height").unwrap(), Some(5));
    assert_eq!(uri("height", "-7").int("height").unwrap(), Some(-7));
}

#[test]
fn what_is_not_given_is_the_default() {
    for text in ["null", "{}", "[]", r#"{"height":null}"#, r#"{"other":1}"#] {
        let args = json(text, &["height"]).unwrap();
        assert_eq!(args.int("height").unwrap(), None, "{text}");
    }
    assert_eq!(uri("height", "").int("height").unwrap(), None);
    let args = json("{}", &[]).unwrap();
    assert!(!args.bool("prove").unwrap());
    assert_eq!(args.text("path").unwrap(), "");
    assert_eq!(args.base64("tx").unwrap(), b"");
    assert_eq!(args.hex("data").unwrap(), b"");
}

#[test]
fn what_is_not_a_number_is_refused_with_its_name() {
    for text in [
        r#"{"height":"x"}"#,
        r#"{"height":1.5}"#,
        r#"{"height":true}"#,
        r#"{"height":[1]}"#,
        r#"{"height":{}}"#,
    ] {
        let error = json(text, &["height"]).unwrap().int("height").unwrap_err();
        assert_eq!(error.code(), -32_602);
        assert!(error.data().contains("height must be a whole number"), "{error}");
    }
    assert!(json(r#"{"height":18446744073709551615}"#, &["height"]).unwrap().int("height").is_err());
    assert!(json(r#"{"height":1e300}"#, &["height"]).unwrap().int("height").is_err());
    assert!(uri("height", "0x05").int("height").is_err());
}

#[test]
fn bytes_are_base64_in_json_and_hex_or_quoted_in_a_uri() {
    assert_eq!(json(r#"{"tx":"dHgw"}"#, &["tx"]).unwrap().base64("tx").unwrap(), b"tx0");
    assert!(json(r#"{"tx":"%%"}"#, &["tx"]).unwrap().base64("tx").is_err());
    assert!(json(r#"{"tx":5}"#, &["tx"]).unwrap().base64("tx").is_err());
    assert_eq!(uri("tx", "0x747830").base64("tx").unwrap(), b"tx0");
    assert_eq!(uri("tx", "\"tx0\"").base64("tx").unwrap(), b"tx0");
    assert!(uri("tx", "tx0").base64("tx").is_err());
    assert!(uri("tx", "0x7").base64("tx").is_err());
    assert!(uri("tx", "\"").base64("tx").is_err());
}

#[test]
fn query_data_is_hex_in_json() {
    assert_eq!(json(r#"{"data":"7b7d"}"#, &["data"]).unwrap().hex("data").unwrap(), b"{}");
    assert!(json(r#"{"data":"{}"}"#, &["data"]).unwrap().hex("data").is_err());
    assert_eq!(uri("data", "\"{}\"").hex("data").unwrap(), b"{}");
    assert_eq!(uri("data", "0x7b7d").hex("data").unwrap(), b"{}");
}

#[test]
fn texts_are_quoted_bare_or_hex_in_a_uri() {
    assert_eq!(json(r#"{"path":"/a"}"#, &["path"]).unwrap().text("path").unwrap(), "/a");
    assert_eq!(uri("path", "\"/a\"").text("path").unwrap(), "/a");
    assert_eq!(uri("path", "/a").text("path").unwrap(), "/a");
    assert_eq!(uri("path", "0x2f61").text("path").unwrap(), "/a");
    assert!(uri("path", "0xff").text("path").is_err(), "not UTF-8");
    assert!(uri("path", "\"\\x\"").text("path").is_err(), "a broken quotation");
}

#[test]
fn a_hash_comes_as_base64_as_hex_or_with_0x() {
    let hash = [0xab; 32];
    let base64 = STANDARD.encode(hash);
    assert_eq!(json(&format!(r#"{{"hash":"{base64}"}}"#), &["hash"]).unwrap().hash("hash").unwrap(), hash);
    assert_eq!(
        json(&format!(r#"["{}"]"#, hex::encode(hash)), &["hash"]).unwrap().hash("hash").unwrap(),
        hash
    );
    assert_eq!(uri("hash", &format!("0x{}", hex::encode_upper(hash))).hash("hash").unwrap(), hash);
    assert_eq!(uri("hash", &hex::encode(hash)).hash("hash").unwrap(), hash);
    let error = uri("hash", "0xabcd").hash("hash").unwrap_err();
    assert!(error.data().contains("has 2 bytes"), "{error}");
    assert!(json("{}", &["hash"]).unwrap().hash("hash").is_err(), "a hash has no default");
}

#[test]
fn a_list_of_another_length_is_refused() {
    let error = json("[1]", &["height", "page", "per_page"]).unwrap_err();
    assert!(error.data().contains("expected 3 parameters (height page per_page), got 1"), "{error}");
}

#[test]
fn params_that_are_neither_list_nor_object_are_refused() {
    for text in ["5", "-5", "1.5", "true", "\"x\""] {
        assert_eq!(json(text, &["height"]).unwrap_err().code(), -32_602, "{text}");
    }
}

#[test]
fn more_arguments_than_any_method_takes_are_not_kept() {
    let list = format!("[{}0]", "0,".repeat(100_000));
    assert_eq!(serde_json::from_str::<Params>(&list).unwrap(), Params::TooMany);
    let entries: Vec<String> = (0..1_000).map(|i| format!("\"a{i}\":0")).collect();
    assert_eq!(
        serde_json::from_str::<Params>(&format!("{{{}}}", entries.join(","))).unwrap(),
        Params::TooMany
    );
    let full = format!("[{}0]", "0,".repeat(MAX_ARGS - 1));
    assert!(
        matches!(serde_json::from_str::<Params>(&full).unwrap(), Params::Listed(list) if list.len() == MAX_ARGS)
    );
}

#[test]
fn the_last_of_a_repeated_member_counts() {
    assert_eq!(json(r#"{"height":1,"height":2}"#, &["height"]).unwrap().int("height").unwrap(), Some(2));
}

#[test]
fn what_the_caller_sent_is_shown_back_only_in_part() {
    let error = uri("height", &"x".repeat(10_000)).int("height").unwrap_err();
    assert!(error.data().len() < 200, "{}", error.data().len());
}
