<?php

use Twilio\AuthStrategy\AuthStrategy;
use Twilio\Http\CurlClient;
use Twilio\Http\Response;
use Twilio\Rest\Client;

class OwnServer extends CurlClient
{
    private string $baseUrl;

    public function __construct(string $baseUrl, array $options = [])
    {
        parent::__construct($options);
        $this->baseUrl = $baseUrl;
    }

    public function request(string $method, string $url, array $params = [], array $data = [], array $headers = [],
                            ?string $user = null, ?string $password = null, ?int $timeout = null,
                            ?AuthStrategy $authStrategy = null): Response
    {
        $url = str_replace(['https://verify.twilio.com', 'https://lookups.twilio.com'], $this->baseUrl, $url);
        return parent::request($method, $url, $params, $data, $headers, $user, $password, $timeout, $authStrategy);
    }
}

$client = new Client($accountSid, $authToken, null, null, new OwnServer('https://verify.example.com'));
