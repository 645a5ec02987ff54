// Imports: net/http, net/url, strings, github.com/twilio/twilio-go and its package client.

type ownServer struct {
	client.Client
	baseURL string
}

func (o *ownServer) SendRequest(method, rawURL string, data url.Values,
	headers map[string]interface{}, body ...byte) (*http.Response, error) {
	rawURL = strings.Replace(rawURL, "https://verify.twilio.com", o.baseURL, 1)
	rawURL = strings.Replace(rawURL, "https://lookups.twilio.com", o.baseURL, 1)
	return o.Client.SendRequest(method, rawURL, data, headers, body...)
}

own := &ownServer{
	Client:  client.Client{Credentials: client.NewCredentials(accountSid, authToken)},
	baseURL: "https://verify.example.com",
}
own.SetAccountSid(accountSid)
c := twilio.NewRestClientWithParams(twilio.ClientParams{Client: own})
