<?php

$client = new \GuzzleHttp\Client(); 
$headers = [
  'x-api-key' => '<replace me>'
];

$body = '{
  "session_id": "<replace me>",
  "type": "telegram"
}';

$request = new Request('POST', 'https://api.kod.mobi/session/send', $headers, $body);
$res = $client->sendAsync($request)->wait();
echo $res->getBody();
