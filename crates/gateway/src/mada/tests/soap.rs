use super::super::*;

#[test]
fn an_answer_is_read_whatever_prefixes_it_uses() {
    let expected = SoapAnswer {
        command_status: Some("0".to_owned()),
        message_id: Some("02940001".to_owned()),
        fault_code: None,
    };
    for xml in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\">\
         <Header/><Body><SubmitSMResponse xmlns=\"http://www.openmindnetworks.com/SoS\"><smResponse>\
         <commandStatus>0</commandStatus><statusDescription>success</statusDescription>\
         <messageId>02940001</messageId><tlvData /></smResponse></SubmitSMResponse></Body></Envelope>\n",
        "\u{feff}<s:Envelope xmlns:s=\"x\"><s:Body><a:SubmitSMResponse xmlns:a=\"y\"><a:smResponse>\
         <a:messageId> 02940001 </a:messageId><a:commandStatus>\n 0 \n</a:commandStatus>\
         </a:smResponse></a:SubmitSMResponse></s:Body></s:Envelope>",
        "<Envelope><!-- c --><Body><SubmitSMResponse><smResponse><commandStatus><![CDATA[0]]></commandStatus>\
         <messageId>0294&#48;001</messageId></smResponse></SubmitSMResponse></Body></Envelope>",
    ] {
        assert_eq!(read_answer(xml).as_ref(), Some(&expected), "{xml}");
    }
}

#[test]
fn a_fault_is_read_without_its_prefix() {
    for (code, expected) in [("soapenv:Client", "Client"), ("Server.Busy", "Server.Busy"), ("", "")] {
        let xml = format!(
            "<E:Envelope><E:Body><E:Fault><faultcode>{code}</faultcode></E:Fault></E:Body></E:Envelope>"
        );
        assert_eq!(read_answer(&xml).and_then(|a| a.fault_code).as_deref(), Some(expected));
    }
}

#[test]
fn a_value_in_another_place_is_not_taken_for_the_status() {
    for xml in [
        "<Envelope><Body><commandStatus>0</commandStatus></Body></Envelope>",
        "<Envelope><Header><SubmitSMResponse><smResponse><commandStatus>0</commandStatus></smResponse>\
         </SubmitSMResponse></Header></Envelope>",
        "<Envelope><Body><SubmitSMResponse><smResponse><x><commandStatus>0</commandStatus></x></smResponse>\
         </SubmitSMResponse></Body></Envelope>",
        "<Envelope/>",
    ] {
        assert_eq!(read_answer(xml), Some(SoapAnswer::default()), "{xml}");
    }
}

#[test]
fn words_for_people_may_be_long_and_what_matters_may_not() {
    let long = "x".repeat(5_000);
    let status = envelope(&format!("<info>{long}</info><commandStatus>0</commandStatus>"));
    assert_eq!(read_answer(&status).and_then(|a| a.command_status).as_deref(), Some("0"));
    let fault = format!(
        "<E:Envelope><E:Body><E:Fault><faultcode>E:Client</faultcode><faultstring>{long}</faultstring>\
         <detail>{long}</detail></E:Fault></E:Body></E:Envelope>"
    );
    assert_eq!(read_answer(&fault).and_then(|a| a.fault_code).as_deref(), Some("Client"));
    assert_eq!(read_answer(&fault.replace("E:Client", &long)), None);
}

#[test]
fn what_is_no_whole_envelope_is_not_read() {
    let whole = envelope("<commandStatus>0</commandStatus>");
    assert!(read_answer(&whole).is_some());
    for end in 0..whole.len() {
        assert_eq!(read_answer(&whole[..end]), None, "cut at {end}");
    }
    for xml in [
        &format!("{whole}{whole}"),
        &format!("{whole}x"),
        &format!("x{whole}"),
        &whole.replace("Envelope", "html"),
        &whole.replace("</commandStatus>", "</status>"),
        &envelope("<commandStatus>0</commandStatus><commandStatus>11</commandStatus>"),
        &envelope("<commandStatus/><commandStatus>0</commandStatus>"),
        &envelope("<commandStatus>&zero;</commandStatus>"),
        &envelope("<commandStatus>&#xFFFFFFF;</commandStatus>"),
        &envelope(&format!("<commandStatus>{}</commandStatus>", "0".repeat(300))),
        &format!("<!DOCTYPE Envelope [<!ENTITY a \"0\">]>{whole}"),
        &format!("<!DOCTYPE Envelope>{}", envelope("<commandStatus>0</commandStatus>")),
        "{\"commandStatus\":0}",
        "",
        "\u{0}",
    ] {
        assert_eq!(read_answer(xml), None, "{xml}");
    }
}

#[test]
fn deep_nesting_does_no_harm() {
    let nested =
        |levels: usize| format!("<Envelope>{}{}</Envelope>", "<a>".repeat(levels), "</a>".repeat(levels));
    assert_eq!(read_answer(&nested(9_000)), Some(SoapAnswer::default()));
    assert_eq!(read_answer(&"<Envelope>".repeat(6_000)), None);
    assert_eq!(read_answer(&"<Envelope><Body>".repeat(4_000)), None);
}

fn envelope(inside: &str) -> String {
    format!(
        "<Envelope><Body><SubmitSMResponse><smResponse>{inside}</smResponse></SubmitSMResponse></Body></Envelope>"
    )
}
