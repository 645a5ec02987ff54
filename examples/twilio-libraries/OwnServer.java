// The classes are in com.twilio.http.

class OwnServer extends NetworkHttpClient {
    private final String baseUrl;

    OwnServer(String baseUrl) {
        this.baseUrl = baseUrl;
    }

    @Override
    public Response makeRequest(Request request) {
        Request own = new Request(request.getMethod(),
            request.getUrl().replace("https://verify.twilio.com", baseUrl)
                .replace("https://lookups.twilio.com", baseUrl));
        if (request.getAuthStrategy() != null) {
            own.setAuth(request.getAuthStrategy());
        } else {
            own.setAuth(request.getUsername(), request.getPassword());
        }
        request.getQueryParams().forEach((name, values) -> values.forEach(v -> own.addQueryParam(name, v)));
        request.getPostParams().forEach((name, values) -> values.forEach(v -> own.addPostParam(name, v)));
        request.getHeaderParams().forEach((name, values) -> values.forEach(v -> own.addHeaderParam(name, v)));
        own.setContentType(request.getContentType());
        own.setUserAgentExtensions(request.getUserAgentExtensions());
        return super.makeRequest(own);
    }
}

Twilio.setRestClient(new TwilioRestClient.Builder(accountSid, authToken)
    .httpClient(new OwnServer("https://verify.example.com"))
    .build());
