<?php

$client = new \GuzzleHttp\Client();
$headers = [
  'x-api-key' => '<replace me>'
];

$body = '{
  "to": "<replace me>",
  "channel": "email",
  "provider_id": 1,
  "code": "0000",
  "callback_url": "<replace me>"
}';

$request = new Request('POST', 'https://api.kod.mobi/manual/send', $headers, $body);
$res = $client->sendAsync($request)->wait();
echo $res->getBody();
