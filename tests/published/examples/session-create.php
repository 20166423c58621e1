<?php

$client = new \GuzzleHttp\Client(); 
$headers = [
  'x-api-key' => '<replace me>'
];

$body = '{
  "to": "<replace me>",
  "type": "telegram",
  "send": true
}';

$request = new Request('POST', 'https://api.kod.mobi/session/create', $headers, $body);
$res = $client->sendAsync($request)->wait();
echo $res->getBody();
