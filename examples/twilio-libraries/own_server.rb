class OwnServer < Twilio::HTTP::Client
  TWILIO = %r{\Ahttps://(verify|lookups)\.twilio\.com}

  def initialize(base_url, **options)
    super(**options)
    @base_url = URI(base_url)
  end

  def request(host, port, method, url, *rest)
    if url.match?(TWILIO)
      url = url.sub(TWILIO) { @base_url.to_s }
      host = "#{@base_url.scheme}://#{@base_url.host}"
      port = @base_url.port
    end
    super(host, port, method, url, *rest)
  end
end

client = Twilio::REST::Client.new(account_sid, auth_token, nil, nil, OwnServer.new('https://verify.example.com'))
