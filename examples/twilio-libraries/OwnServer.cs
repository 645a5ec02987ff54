// SystemNetHttpClient is in Twilio.Http, TwilioRestClient in Twilio.Clients.

class OwnServer : DelegatingHandler
{
    private readonly Uri _base;

    public OwnServer(string baseUrl) : base(new HttpClientHandler { AllowAutoRedirect = false }) =>
        _base = new Uri(baseUrl);

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken token)
    {
        if (request.RequestUri.Host is "verify.twilio.com" or "lookups.twilio.com")
            request.RequestUri = new Uri(_base, request.RequestUri.PathAndQuery);
        return base.SendAsync(request, token);
    }
}

var http = new SystemNetHttpClient(new System.Net.Http.HttpClient(new OwnServer("https://verify.example.com")));
TwilioClient.SetRestClient(new TwilioRestClient(accountSid, authToken, httpClient: http));
