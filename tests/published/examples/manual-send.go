package main

import (
    "fmt"
    "io"
    "net/http"
)

func main() { 

    payload := strings.NewReader(`{
        "to": "<replace me>",
        "channel": "email",
        "provider_id": 1,
        "code": "0000",
        "callback_url": "<replace me>"
    }`)

    client := &http.Client{}
    req, err := http.NewRequest("POST", "https://api.kod.mobi/manual/send", payload)

    if err != nil {
        panic(err)
    }
    req.Header.Add("x-api-key", "<replace me>")

    res, err := client.Do(req)
    if err != nil {
        fmt.Println(err)
        return
    }
    defer res.Body.Close()

    body, err := io.ReadAll(res.Body)
    if err != nil {
        panic(err)
    }
    fmt.Println(string(body))
}
